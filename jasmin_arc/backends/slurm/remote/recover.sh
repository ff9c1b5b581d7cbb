# stop BATCH...: decide that batches never run, unless it is decided that they do, and print what was decided.
# undo NUMBERS FOLDER...: cancel and erase jobs that must not run, given by BATCH/TOKEN; NUMBERS may be "".
# gone BATCH...: erase batches of which no job is left; of one that has not come, a mark stays.
cd "$dir" || exit 41
umask 077
stop() {
    sweep
    for batch; do
        # Whoever still sends this batch finds that it is there, and stops.
        mkdir "$batch" 2>/dev/null
        ln -s withdrawn "$batch/fate" 2>/dev/null
        if [ -e "$batch/job" ]; then echo "fate $batch $(readlink "$batch/fate")"; else echo "fate $batch never"; fi
        for group in "$batch"/withdrawn.*; do [ ! -e "$group" ] || echo "withdrawn $batch ${group##*.}"; done
    done
}

# sweep: erase the marks of batches that never came, once nobody sends these any more
sweep() {
    rm -rf ./????????-??????-????????.gone
    touch -d '1 hour ago' sweep.$$
    for batch in ????????-??????-????????; do
        if [ -h "$batch/fate" ] && [ ! -e "$batch/job" ] && [ "$batch" -ot sweep.$$ ]; then rm -rf "$batch"; fi
    done
    rm -f sweep.$$
}

undo() {
    numbers=$1
    shift
    set -f
    [ -z "$numbers" ] || scancel $numbers || exit 1
    rm -rf "$@"
    set +f
}

gone() {
    for batch; do
        # At once: whoever still works there finds nothing any more.
        if [ -e "$batch/job" ] && mv "$batch" "$batch.gone"; then rm -rf "$batch.gone"; fi
    done
}
