# look AGE BATCH...: print what Slurm says of all the user's jobs, and what the jobs of the batches say themselves.
# AGE is how many seconds old Slurm's answer may be; "watch" leaves it to the last answer, which grows old more slowly
# while nothing changes. All processes of the user share the answer.
cd "$dir" || exit 41

fields='JobArrayID:|,State:|,exit_code:|,Reason:|,Partition:|,NumCPUs:|,SubmitTime:|,StartTime:|,EndTime:|,NodeList:|,Account:|,QOS:|,RestartCnt:|,Comment:|'

# ask: $answer is what Slurm says. It needs no disk, as that may be full.
ask() {
    fresh=''
    if answer=$(SLURM_TIME_FORMAT=%s squeue --me -h -r -t all -O "$fields" 2>&1); then
        fresh=t
        return 0
    fi
    printf '%s\n' "$answer" | while IFS= read -r line; do printf 'silent %s\n' "$line"; done
    { echo "$now" >queue.failed; } 2>/dev/null
    return 1
}

# share: give the answer to all. It begins with the time of the question. In queue.pace: when it is due again, in
# seconds, how many questions came without a minute between them, and the length of the answer.
share() {
    # Another state nearly always has another length; estimates of when jobs start, which change all the time, have not.
    sum=${#answer}
    count=$((now - time < 60 ? count + 1 : 0))
    if [ "$sum" = "$last" ]; then
        interval=$((interval * 3 / 2))
        [ "$interval" -le 120 ] || interval=120
    else
        interval=30
    fi
    { echo "$interval $count $sum" >queue.pace && printf '%s\n' "$now" "$answer" >queue.$$; } 2>/dev/null || return 1
    # As old as the question: what was submitted since then may not be in it.
    touch -h -r queue.lock queue.$$ && mv queue.$$ queue || return 1
    [ ! -e queue.failed ] || rm queue.failed
    [ ! -h queue.unshared ] || rm queue.unshared
}

ask_and_share() {
    trap 'rm -f queue.lock queue.$$' EXIT
    if ! ask || share; then rm -f queue.lock; else shared=''; rm -f queue.$$; ln -s "$now" queue.unshared; fi 2>/dev/null
    # From here on the lock may be that of another. Where nothing can be shared, it stays until it is too old, so that
    # those who watch ask no more often than that.
    trap - EXIT
}

be_silent() {
    silent=t
    echo silent
}

is_new() {
    now=$(date +%s) time=0 interval=30 count=0 last=''
    [ ! -r queue ] || read -r time last <queue
    case $time in '' | *[!0-9]*) time=0 ;; esac
    [ ! -r queue.pace ] || read -r interval count last <queue.pace
    # On a full disk, what is written is empty.
    case $interval$count in '' | *[!0-9]*) interval=30 count=0 ;; esac
    limit=$age
    # Who asks again and again is no person.
    if [ "$age" != watch ] && [ "$count" -ge 10 ] && [ "$age" -gt 0 ] && [ "$age" -lt 15 ]; then limit=15; fi
    if [ "$age" = watch ]; then
        limit=$interval failed=0
        [ ! -r queue.failed ] || read -r failed <queue.failed
        if [ "$((now - ${failed:-0}))" -lt 30 ]; then be_silent; return 0; fi
    fi
    for batch; do
        if [ "$batch/ids" -nt queue ]; then return 1; fi
    done
    [ "$((now - time))" -lt "$limit" ] && [ "$((now - time))" -ge 0 ]
}

look() {
    age=$1 answer='' fresh='' shared=t silent='' tries=0
    shift
    until is_new "$@"; do
        if ln -s "$now" queue.lock 2>/dev/null; then
            # Who watches does not wait for Slurm, which may take long: the marks of the jobs tell their ends.
            if [ "$age" = watch ] && [ ! -h queue.unshared ]; then (ask_and_share) </dev/null >/dev/null 2>&1 & else ask_and_share; fi
            break
        fi
        # Another process is asking, or no lock can be made.
        tries=$((tries + 1))
        since=$(readlink queue.lock 2>/dev/null)
        if [ -n "$since" ] && [ "$((now - since))" -gt 90 ]; then
            rm -f queue.lock
        elif [ "$age" = watch ] && { [ -r queue ] || [ "$tries" -gt 100 ]; }; then
            [ -r queue ] || be_silent
            break
        elif [ "$age" != watch ] && [ "$tries" -gt 20 ]; then
            shared=''
            ask
            break
        else
            sleep 0.1
        fi
    done
    # Before the answer is read, as another process may put a newer one in its place.
    new=''
    for batch; do
        if [ -z "$shared" ]; then break; fi
        # Before there is an answer, all is newer.
        if [ -r queue ]; then [ "$batch/ids" -nt queue ]; else [ -z "$silent" ]; fi && new="$new $batch "
    done
    echo queue
    if [ -n "$fresh" ]; then printf '%s\n' "$now" "$answer"; elif [ -r queue ]; then cat queue; fi
    for batch; do
        young='' fate=''
        case $new in *" $batch "*) young=young ;; esac
        if [ -h "$batch/fate" ]; then fate=decided; fi
        printf '\nbatch %s %s %s\n' "$batch" "$young" "$fate"
        ls "$batch" "$batch/marks" 2>/dev/null
    done
    echo end
}
