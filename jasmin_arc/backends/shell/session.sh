# Look into the session folder $session, and never out of it.

# enter PATH: $path is where PATH leads
enter() {
    cd "$session" 2>/dev/null || { echo gone; exit 0; }
    top=$(pwd -P)
    path=$(realpath -e -- "./$1" 2>/dev/null) || { echo none; exit 0; }
    case $path in "$top" | "$top"/*) ;; *) echo none; exit 0 ;; esac
}

# list PATH FLAGS: the entries of a folder, as ls tells them
list() {
    enter "$1"
    [ -d "$path" ] || { echo none; exit 0; }
    echo "top $top"
    cd "$path" && ls "$2" --time-style=+%s --quoting-style=c .
}

# links NAME...: the sizes of the files that symbolic links lead to
links() {
    for name; do
        (
            enter "$name" >/dev/null
            if [ -f "$path" ]; then stat -L -c '%s' -- "$path"; fi
        ) | { read -r size || size=-; echo "$size"; }
    done
}

# show PATH OFFSET: the size of a file, and its content from a byte on
show() {
    enter "$1"
    [ -f "$path" ] || { echo none; exit 0; }
    stat -c 'file %s' -- "$path" || exit
    # tail copies in small pieces, which takes half as long again.
    if [ "$2" = 0 ]; then exec cat -- "$path"; else exec tail -c "+$(($2 + 1))" -- "$path"; fi
}

# pack: an archive of the files whose names come on standard input
pack() {
    cd "$session" && exec tar -chf - --format=gnu --hard-dereference --null -T -
}
