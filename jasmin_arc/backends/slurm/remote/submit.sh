# Unpack the folders of batches from standard input, and submit their jobs on hold.
# The last files of the archive are the batch scripts: without them the archive was cut short.
mask=$(umask)
umask 077
cd "$dir" || exit 41
trap 'rm -f said.$$' EXIT
for batch in $batches; do
    mkdir "$batch" "$batch/marks" "$batch/logs" || exit 41
done
tar -xf - || { rm -rf $batches; exit 41; }
for batch in $batches; do
    [ -e "$batch/job" ] || { rm -rf $batches; echo "the inputs arrived incomplete" >&2; exit 41; }
done
stalled=''

# group BATCH OFFSET SIZE RERUN OPTION...: one request, whose answer is written down here too
group() {
    batch=$1 offset=$2 size=$3 rerun=$4
    shift 4
    if [ -n "$stalled" ] || [ -h "$batch/fate" ]; then echo "sbatch $batch $offset skipped"; return; fi
    echo "$offset" >>"$batch/ids"
    send --hold "$@"
    if [ "$code" != 0 ]; then
        case $(cat said.$$) in
            *[Tt]imed\ out* | *[Tt]ransmi* | *[Cc]onnect* | *[Tt]emporarily*) stalled=t ;;
            *[Hh]old* | *[Hh]eld*) echo "unheld $batch $offset"; send "$@" ;;
        esac
    fi
    echo "$offset $code $answer $size" >>"$batch/ids"
    echo "sbatch $batch $offset $code $answer"
    [ "$code" != 0 ] || return 0
    while IFS= read -r line; do printf 'said %s\n' "$line"; done <said.$$
    case $stalled$code in 1 | 255) rm -rf "$batch"/????????"$(printf %03x "$offset")"??? ;; esac
}

# drop BATCH...: erase batches of which no job is left
drop() {
    for batch; do
        for job in "$batch"/??????????????; do [ -d "$job" ] || rm -rf "$batch"; break; done
    done
}

send() {
    answer=$(umask "$mask"; sbatch --parsable --export=NIL --chdir="$dir/$batch" --comment="jasmin_arc/$batch/$offset" \
        "$@" -- "$dir/$batch/job" "$dir/$batch" "$offset" "$HOME" "$rerun" </dev/null 2>said.$$)
    code=$?
}
