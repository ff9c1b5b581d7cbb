# stop BATCH...: decide that batches never run, unless it is decided that they do, and print what was decided.
# undo BATCH NUMBERS FOLDER...: cancel and erase jobs that must not run, given by BATCH/TOKEN; NUMBERS may be "".
cd "$dir" || exit 41
umask 077
stop() {
    for batch; do
        # Whoever still sends this batch finds that it is there, and stops.
        mkdir "$batch" 2>/dev/null
        ln -s withdrawn "$batch/fate" 2>/dev/null
        if [ -e "$batch/job" ]; then echo "fate $batch $(readlink "$batch/fate")"; else echo "fate $batch never"; fi
        for group in "$batch"/withdrawn.*; do [ ! -e "$group" ] || echo "withdrawn $batch ${group##*.}"; done
    done
}
undo() {
    batch=$1 numbers=$2
    shift 2
    set -f
    [ -z "$numbers" ] || scancel $numbers || exit 1
    rm -rf "$@"
    if [ "$(readlink "$batch/fate")" = withdrawn ] && [ -e "$batch/job" ]; then rm -rf "$batch"; fi
}
