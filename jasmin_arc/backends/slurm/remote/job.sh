#!/bin/sh
# Runs one job: job FOLDER OFFSET HOME RERUN. FOLDER is that of the batch, OFFSET the number of the array's first job.
# What the job has to tell, it tells by the names of files in FOLDER/marks, so that nobody has to ask Slurm.
cd "$1" || exit 1
offset=$2 home=$3 rerun=$4
for job in ????????"$(printf %03x%03x "$offset" "${SLURM_ARRAY_TASK_ID:-0}")"; do break; done
[ -d "$job/session" ] || exit 1

# Where jobs cannot be held, they wait here until it is decided that they run.
waited=0
until [ "$(readlink fate)" = committed ]; do
    if [ "$(readlink fate)" = withdrawn ] || [ "$waited" -ge 900 ]; then exit 1; fi
    sleep 1
    waited=$((waited + 1))
done
[ ! -e "withdrawn.$offset" ] || exit 1

cd "$job/session" || exit 1
marks=../../marks
exec >stdout 2>stderr </dev/null
rm -f "$marks/$job".[0-9]*
: >"$marks/$job.run"

export HOME="${HOME:-$home}" PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}"
export USER="${USER:-$SLURM_JOB_USER}" LOGNAME="${LOGNAME:-$SLURM_JOB_USER}"
if [ "${SLURM_RESTART_COUNT:-0}" -gt "$rerun" ]; then
    echo "the job was run again $rerun times, and once more would be too often" >&2
    code=1
fi

began=$(date +%s.%N) term='' module='' memory=''
trap 'term=t' TERM
if [ -z "${code-}" ]; then
    IFS= read -r interpreter <.jasmin_arc_run
    ${interpreter#"#!"} ./.jasmin_arc_run
    code=$?
fi
ended=$(date +%s.%N)

# The memory that the job's control group has seen, where Slurm uses these.
while IFS=: read -r number kind path; do
    case $kind:$path in :*/job_* | *memory*:*/job_*)
        for peak in "/sys/fs/cgroup$path/memory.peak" "/sys/fs/cgroup/memory$path/memory.max_usage_in_bytes"; do
            [ ! -r "$peak" ] || read -r memory <"$peak"
        done ;;
    esac
done </proc/self/cgroup

# Keep the outputs, and nothing else.
keep=$(cat ../keep; while IFS= read name; do printf '%s\n' "$name"; done 2>/dev/null <.jasmin_arc_outputs)
keep="
$keep
"
# In a subshell, so that each call has variables of its own.
clean() (
    for file in "$1"* "$1".[!.]* "$1"..?*; do
        case $keep in
            *"
$file
"*) continue ;;
            *"
$file/"*) if [ -d "$file" ] && [ ! -h "$file" ]; then clean "$file/"; rmdir -- "$file"; continue; fi ;;
        esac
        if [ -e "$file" ] || [ -h "$file" ]; then remove "$file"; fi
    done
)
remove() { rm -rf -- "$1" || { chmod -R u+rwx -- "$1"; rm -rf -- "$1"; }; }
[ ! -r ../module ] || module=$(cat ../module)
if [ -r ../keep ]; then clean '' 2>/dev/null; fi

# So that times are written with a point, not with a comma.
LC_ALL=C
{ echo "job $SLURM_JOB_ID"; echo "node $SLURMD_NODENAME"; echo "code $code"; echo "term $term"; echo "began $began"
  echo "ended $ended"; echo "memory $memory"; echo "module $module"; times; } >../end.new && mv ../end.new ../end
mv "$marks/$job.run" "$marks/$job.$code$term" || : >"$marks/$job.$code$term"
exit "$code"
