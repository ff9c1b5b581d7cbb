# Unpack the folders of batches from standard input, and submit their jobs on hold.
# The last files of the archive are the batch scripts: without them the archive was cut short.
mask=$(umask)
umask 077
cd "$dir" || exit 41
made=''
for batch in $batches; do
    mkdir "$batch" || { rm -rf $made; exit 41; }
    made="$made $batch"
    mkdir "$batch/marks" "$batch/logs" || { rm -rf $made; exit 41; }
done
tar -xmf - || { rm -rf $batches; exit 41; }
for batch in $batches; do
    [ -e "$batch/job" ] || { rm -rf $batches; echo "the inputs arrived incomplete" >&2; exit 41; }
    # recover() leaves to this script what it has withdrawn before all was there.
    [ ! -h "$batch/fate" ] || { rm -rf $batches; echo "another process has withdrawn the jobs" >&2; exit 41; }
done
stalled='' newline='
'

# group BATCH OFFSET SIZE RERUN OPTION...: one request, whose answer is written down here too, unless it is lost
group() {
    batch=$1 offset=$2 size=$3 rerun=$4 said=$1/said
    shift 4
    # First written and then looked, as recover() first withdraws and then looks: so one of the two sees the other.
    if [ -n "$stalled" ] || ! { echo "$offset" >>"$batch/ids"; } 2>/dev/null || [ -h "$batch/fate" ]; then
        answered skipped
        return
    fi
    send --hold "$@"
    if [ "$code" = 1 ] && ! is_lost; then
        case $(cat "$said") in *[Hh]old* | *[Hh]eld*) echo "unheld $batch $offset"; send "$@" ;; esac
    fi
    if is_lost; then stalled=t; echo "sbatch $batch $offset lost"; else answered "$code" "$answer"; fi
    [ "$code" = 0 ] || while IFS= read -r line; do printf 'said %s\n' "$line"; done <"$said"
}

send() {
    answer=$(umask "$mask"; clean_env "$sbatch" --parsable --export=ALL --chdir="$dir/$batch" \
        --comment="jasmin_arc/$batch/$offset" "$@" -- "$dir/$batch/job" "$dir/$batch" "$offset" "$HOME" "$rerun" \
        </dev/null 2>"$said")
    code=$?
    # A site's own sbatch may say more before it.
    answer=${answer##*"$newline"}
}

# clean_env COMMAND...: run sbatch with next to no environment, so that nothing of it goes into the job. With NIL or NONE,
# Slurm would run a login shell for each job on its node: this takes long, and a job is held for ever where it fails.
sbatch=$(command -v sbatch)
clean_env() {
    env -i HOME="$HOME" PATH="/usr/local/bin:/usr/bin:/bin:${sbatch%/*}" ${SLURM_CONF+SLURM_CONF="$SLURM_CONF"} \
        ${SBATCH_ACCOUNT+SBATCH_ACCOUNT="$SBATCH_ACCOUNT"} ${SBATCH_PARTITION+SBATCH_PARTITION="$SBATCH_PARTITION"} \
        ${SBATCH_QOS+SBATCH_QOS="$SBATCH_QOS"} "$@"
}

# is_lost: whether the job may exist all the same; 255 is for options that there are not
is_lost() {
    case $code in 0 | 255) return 1 ;; 1) ;; *) return 0 ;; esac
    case $(cat "$said") in *[Tt]imed\ out* | *[Tt]ransmi* | *[Cc]onnect* | *failure* | *[Tt]emporarily*) return 0 ;; esac
    return 1
}

# answered CODE ANSWER: write down what is known of the jobs of a group; of those that do not exist, nothing is left
answered() {
    { echo "$offset $1 ${2-} $size" >>"$batch/ids"; } 2>/dev/null
    [ "$1" = 0 ] || rm -rf "$batch"/????????"$(printf %03x "$offset")"???
    echo "sbatch $batch $offset $1 ${2-}"
}

# drop BATCH...: erase batches of which no job is left
drop() {
    for batch; do
        for job in "$batch"/??????????????; do [ -d "$job" ] || rm -rf "$batch"; break; done
    done
}
