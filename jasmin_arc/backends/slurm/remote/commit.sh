# commit BATCH NUMBERS...: decide that a batch runs, unless somebody has withdrawn it, and release its jobs.
cd "$dir" || exit 41
trap 'rm -f said.$$' EXIT

commit() {
    batch=$1
    shift
    ln -s committed "$batch/fate" 2>/dev/null
    if [ "$(readlink "$batch/fate")" != committed ]; then echo "withdrawn $batch"; return; fi
    echo "committed $batch"
    for numbers; do
        release "$numbers" || while IFS= read -r line; do printf 'said %s %s\n' "$batch" "$line"; done <said.$$
    done
}

release() {
    for attempt in 1 2 3; do
        scontrol release "$1" 2>said.$$ && return 0
        case $(cat said.$$) in *[Tt]imed\ out* | *[Uu]nable\ to\ contact*) sleep 1 ;; *) return 1 ;; esac
    done
    return 1
}
