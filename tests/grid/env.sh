# shellcheck shell=sh
# For ARC's and Slurm's own commands by hand: . @GRID_DIR@/client/env.sh; arcproxy; arcsub -C localhost:@PORT@ ...
export HOME=@GRID_DIR@/client SLURM_CONF=@GRID_DIR@/slurm/slurm.conf
export X509_USER_CERT=$HOME/usercert.pem X509_USER_KEY=$HOME/userkey.pem X509_USER_PROXY=$HOME/proxy.pem
export X509_CERT_DIR=@GRID_DIR@/certificates
