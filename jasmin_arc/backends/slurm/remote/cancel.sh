# cancel NUMBERS FOLDER...: cancel jobs, given by BATCH/TOKEN, and mark that. Of a job of an array that has not begun,
# Slurm keeps no record.
cd "$dir" || exit 41
cancel() {
    numbers=$1
    shift
    for folder; do : >"${folder%/*}/marks/${folder#*/}.cancelled"; done
    set -f
    scancel $numbers || { code=$?; for folder; do rm -f "${folder%/*}/marks/${folder#*/}.cancelled"; done; exit $code; }
    # So that the next question is asked of Slurm.
    for folder; do echo "${folder%/*}"; done | sort -u | while read -r batch; do touch "$batch/ids"; done
}
