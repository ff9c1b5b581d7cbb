# clean FOLDER...: erase jobs, given by BATCH/TOKEN; a batch goes with its last job
cd "$dir" || exit 41
trap 'rm -f said.$$' EXIT
clean() {
    rm -rf "$@" 2>/dev/null || for folder; do
        chmod -R u+rwx "$folder" 2>/dev/null
        rm -rf "$folder" 2>said.$$ || printf 'kept %s %s\n' "$folder" "$(head -n 1 said.$$)"
    done
    for folder; do
        [ -e "$folder" ] || set -- "$@" "${folder%/*}/marks/${folder#*/}".*
    done
    rm -rf "$@" 2>/dev/null
    for folder; do echo "${folder%%/*}"; done | sort -u | while read -r batch; do
        for left in "$batch"/??????????????; do
            [ -d "$left" ] || rm -rf "$batch"
            break
        done
    done
}
