# enter FOLDER PATH: go into the session folder of a job; $path is where PATH leads, which must be inside
enter() {
    cd "$dir/$1/session" 2>/dev/null || { echo gone; exit 0; }
    top=$(pwd -P)
    path=$(realpath -e -- "./$2" 2>/dev/null) || { echo none; exit 0; }
    case $path in "$top" | "$top"/*) ;; *) echo none; exit 0 ;; esac
}

# list FOLDER PATH FLAGS: the entries, as ls tells them, and for symbolic links where they lead
list() {
    enter "$1" "$2"
    [ -d "$path" ] || { echo none; exit 0; }
    echo "top $top"
    cd "$path" && ls "$3" --time-style=+%s --quoting-style=c .
}

# links FOLDER NAME...: the sizes of the files that symbolic links lead to, as far as they are inside
links() {
    folder=$1
    shift
    for name; do
        ( enter "$folder" "$name" >/dev/null; [ -f "$path" ] && stat -L -c '%s' -- "$path" || echo - )
    done
}

# show FOLDER PATH OFFSET: the size of a file, and its content from a byte on
show() {
    enter "$1" "$2"
    [ -f "$path" ] || { echo none; exit 0; }
    stat -c 'file %s' -- "$path" && exec tail -c "+$(($3 + 1))" -- "$path"
}

# pack FOLDER: the files whose names come on standard input, as an archive
pack() {
    cd "$dir/$1/session" && exec tar -chf - --format=gnu --hard-dereference --null -T -
}
