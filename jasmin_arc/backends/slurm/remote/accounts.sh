# accounts NUMBERS: print what the accounting says of jobs; nothing where there is none
accounts() {
    command -v sacct >/dev/null || return 0
    columns=JobID,State,ExitCode,Start,End,NodeList,MaxRSS,TotalCPU,Reason
    SLURM_TIME_FORMAT=%s sacct -n -P -j "$1" -o "$columns" 2>/dev/null | while IFS= read -r line; do
        case $line in *'|CANCELLED by '[0-9]*)
            rest=${line#*CANCELLED by }
            user=${rest%%|*}
            line="${line%%|*}|CANCELLED by $(id -un "$user" 2>/dev/null || echo "$user")|${rest#*|}" ;;
        esac
        printf '%s\n' "$line"
    done
    return 0
}
