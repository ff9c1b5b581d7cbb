# ids BATCH...: print what sbatch answered
cd "$dir" || exit 41
ids() {
    for batch; do
        [ ! -r "$batch/ids" ] || while read -r line; do echo "$batch $line"; done <"$batch/ids"
    done
}
