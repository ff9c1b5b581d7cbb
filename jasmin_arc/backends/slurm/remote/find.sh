# find_software NAME: where a program is, and which modules have NAME in their names
find_software() {
    case $(command -v "$1") in /*) printf 'program %s\n' "$(command -v "$1")" ;; esac
    bash -lc 'module -t avail 2>&1' 2>/dev/null </dev/null | while IFS= read -r module; do
        case $module in *:) ;; *"$1"*) printf 'module %s\n' "$module" ;; esac
    done
}
