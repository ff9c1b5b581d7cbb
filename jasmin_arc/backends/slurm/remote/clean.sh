# clean FOLDER...: erase jobs, given by BATCH/TOKEN; a batch goes with its last job
cd "$dir" || exit 41
clean() {
    for folder; do
        rm -rf "$folder" 2>/dev/null || { chmod -R u+rwx "$folder"; rm -rf "$folder"; } 2>said.$$ ||
            { printf 'kept %s %s\n' "$folder" "$(head -n 1 said.$$)"; continue; }
        rm -f "${folder%/*}/marks/${folder#*/}".*
    done
    rm -f said.$$
    for folder; do echo "${folder%/*}"; done | sort -u | while read -r batch; do
        for left in "$batch"/??????????????; do
            [ -d "$left" ] || rm -rf "$batch"
            break
        done
    done
}
