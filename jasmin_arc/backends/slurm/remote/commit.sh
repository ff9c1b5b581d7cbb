# commit BATCH LOST NUMBERS...: decide that a batch runs, unless somebody has withdrawn it, and release its jobs. LOST
# are the offsets of those of which it is not known whether they exist, or "": these never run.
cd "$dir" || exit 41

commit() {
    batch=$1 said=$1/said.$$
    for offset in $2; do : >"$batch/withdrawn.$offset"; done
    shift 2
    ln -s committed "$batch/fate" 2>/dev/null
    if [ "$(readlink "$batch/fate")" != committed ]; then echo "withdrawn $batch"; return; fi
    echo "committed $batch"
    for numbers; do
        release "$numbers" || while IFS= read -r line; do printf 'said %s %s\n' "$batch" "$line"; done <"$said"
        rm -f "$said"
    done
}

release() {
    for attempt in 1 2 3; do
        scontrol release "$1" 2>"$said" && return 0
        case $(cat "$said") in *[Tt]imed\ out* | *[Uu]nable\ to\ contact*) sleep 1 ;; *) return 1 ;; esac
    done
    return 1
}
