# Say what the cluster has, and what the user may choose of it.
echo nodes; sinfo -h -o '%R|%t|%D|%C|%m|%l'
echo partitions; scontrol -o show partition
if command -v sacctmgr >/dev/null; then
    echo associations
    sacctmgr -n -P show assoc user="$(id -un)" format=Account,Partition,QOS,DefaultQOS 2>/dev/null
    echo default; sacctmgr -n -P show user "$(id -un)" format=DefaultAccount 2>/dev/null
    echo qos; sacctmgr -n -P show qos format=Name,MaxWall,MaxTRES,MaxTRESPU,MaxSubmitPU,MaxJobsPU,Flags 2>/dev/null
fi
echo end
