# clean FOLDER...: erase jobs, given by BATCH/TOKEN; a batch goes with its last job
cd "$dir" || exit 41
clean() {
    rm -rf "$@" 2>/dev/null || for folder; do
        chmod -R u+rwx "$folder" 2>/dev/null
        why=$(rm -rf "$folder" 2>&1) || printf 'kept %s %s\n' "$folder" "$(printf '%s\n' "$why" | head -n 1)"
    done
    # What is there of those that are gone
    set -- $(for folder; do [ -e "$folder" ] || echo "${folder%/*}/marks/${folder#*/}".*; done)
    rm -rf "$@" 2>/dev/null
    for folder; do echo "${folder%%/*}"; done | sort -u | while read -r batch; do
        for left in "$batch"/??????????????; do
            [ -d "$left" ] || rm -rf "$batch"
            break
        done
    done
}
