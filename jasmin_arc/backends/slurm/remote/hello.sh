# Say what there is: Slurm's commands, the folder of the jobs, the configuration and the partitions.
for command in sbatch squeue scancel scontrol; do
    command -v "$command" >/dev/null || { echo "missing $command"; exit 0; }
done
umask 077
mkdir -p "$dir" && cd "$dir" && [ -w . ] || exit 41
[ -O . ] || { echo "SLURM_DIR, $dir, is somebody else's: set it to a folder of your own" >&2; exit 41; }
printf 'dir %s\n' "$(pwd -P)"
scontrol show config && scontrol -o show partition
