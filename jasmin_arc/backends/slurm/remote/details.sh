# details FOLDER...: what jobs, given by BATCH/TOKEN, have written down of their ends
cd "$dir" || exit 41
details() {
    for folder; do
        [ -r "$folder/end" ] || continue
        echo "end $folder"
        while IFS= read -r line; do printf '%s\n' "$line"; done <"$folder/end"
    done
}
# log BATCH OFFSET INDEX: what Slurm itself has written about a job
log() {
    for file in "$1/logs/$2" "$1/logs/$2.$3"; do [ ! -f "$file" ] || tail -c 65536 "$file"; done
}
# description FOLDER: what a job was submitted with
description() { cat "$1/description" 2>/dev/null || :; }
# jobs_there: the folders of all jobs that run, or ran
jobs_there() {
    for batch in ????????-??????-????????; do
        [ ! -h "$batch/fate" ] || for job in "$batch"/??????????????; do [ ! -d "$job/session" ] || echo "$job"; done
    done
}
