# accounts NUMBERS: print what the accounting says of jobs; nothing where there is none
accounts() {
    command -v sacct >/dev/null || return 0
    known='' columns=JobID,State,ExitCode,Start,End,NodeList,MaxRSS,TotalCPU,Reason
    SLURM_TIME_FORMAT=%s sacct -n -P -j "$1" -o "$columns" 2>/dev/null | while IFS= read -r line; do
        case $line in *'|CANCELLED by '[0-9]*)
            rest=${line#*CANCELLED by }
            user=${rest%%|*}
            if [ "$user" != "$known" ]; then known=$user name=$(id -un "$user" 2>/dev/null || echo "$user"); fi
            line="${line%%|*}|CANCELLED by $name|${rest#*|}" ;;
        esac
        printf '%s\n' "$line"
    done
    return 0
}
