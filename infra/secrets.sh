#!/bin/sh
# Makes the secrets that compose.yaml mounts, at random, in infra/secrets; what is there is kept. Run it once.
# Compose mounts each file as it is, for users of containers that this machine does not know: so they may be read by
# all, in a folder that only its owner can enter.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
cd secrets

random() {
    od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'
}

keep() { # NAME: what is piped in, unless that is there
    if [ -e "$1" ]; then
        cat >/dev/null
    else
        cat >"$1.new"
        chmod 444 "$1.new"
        mv "$1.new" "$1"
    fi
}

value() { # FILE NAME: of `NAME = value` in it
    sed -n "s/^$2 = //p" "$1"
}

identity() { # NAME ACTIONS: as SeaweedFS takes it
    cat <<END
  {"name": "$1", "actions": [$2], "credentials": [
    {"accessKey": "$(value "s3_$1" aws_access_key_id)", "secretKey": "$(value "s3_$1" aws_secret_access_key)"}]}
END
}

in_bucket() { # NAME: all actions of objects in it
    printf '"Read:%s", "Write:%s", "List:%s", "Tagging:%s"' "$1" "$1" "$1" "$1"
}

for name in postgres mlflow prefect feedback tombstones events grafana; do
    random 24 | keep "$name"
done
printf 'genloop:%s' "$(random 24)" | keep prefect_login
for name in admin genloop mlflow; do
    keep "s3_$name" <<END
[default]
aws_access_key_id = $(random 10)
aws_secret_access_key = $(random 24)
region = us-east-1
END
done
keep s3.json <<END
{"identities": [
$(identity admin '"Admin"'),
$(identity genloop "$(in_bucket genloop)"),
$(identity mlflow "$(in_bucket mlflow)")
]}
END
keep security.toml <<END
[jwt.signing]
key = "$(random 24)"
[jwt.filer_signing]
key = "$(random 24)"
[jwt.filer_signing.read]
key = "$(random 24)"
END
