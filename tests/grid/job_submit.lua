-- The site's own rules, in JASMIN's words.
function slurm_job_submit(job, partitions, submit_uid)
    if job.account == nil or job.account == "" then
        slurm.log_user("Job rejected: Please specify an account!")
        return slurm.ERROR
    end
    if job.partition == "nohold" and job.priority == 0 then
        slurm.log_user("Jobs on hold are not accepted here")
        return slurm.ERROR
    end
    return slurm.SUCCESS
end

function slurm_job_modify(job, record, partitions, modify_uid)
    return slurm.SUCCESS
end

return slurm.SUCCESS
