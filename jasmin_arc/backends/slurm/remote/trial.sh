# trial OPTION...: print why sbatch would refuse a job; nothing is submitted
trial() { sbatch --test-only --output=/dev/null "$@" --wrap=true </dev/null >said.$$ 2>&1 || cat said.$$; }
cd "$dir" || exit 41
trap 'rm -f said.$$' EXIT
