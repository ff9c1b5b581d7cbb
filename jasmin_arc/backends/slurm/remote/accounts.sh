# accounts NUMBERS: print what the accounting says of jobs; nothing where there is none
accounts() {
    command -v sacct >/dev/null || return 0
    SLURM_TIME_FORMAT=%s sacct -n -P -j "$1" -o JobID,State,ExitCode,Start,End,NodeList,MaxRSS,TotalCPU,Reason 2>/dev/null
    return 0
}
