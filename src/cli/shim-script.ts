/**
 * The program of `berth shim`. It uses no features of particular shells, and few programs: kubectl, sed, cut, grep, sort,
 * head, tr, wc, cat, and base64 for the passwords that docker has stored.
 */
export function shimScript(version: string): string {
  return `#!/bin/sh
# kubectl-berth ${version} as a shell script, printed by "berth shim". Runs commands in the pod of the registry.
set -eu

namespace='' context='' kubeconfig='' selector='' registry='' verbose=''
username='' password_file='' token_file='' account='' audience='' secret='' kind=''
tab=$(printf '\\t')

fail() {
  printf 'kubectl berth: %s\\n' "$1" >&2
  exit 1
}

help() {
  cat <<'END'
Usage: kubectl berth COMMAND [ARGUMENTS]

Runs in the pod of a registry, by kubectl exec:
  list, delete, copy, inspect       images, as in: kubectl berth list app
  tag, gc, retention, in-use,
  doctor and others                 see: kubectl berth COMMAND --help

Needs Berth itself on this machine: push, pull, connect.

Options:
  -n, --namespace, --context, --kubeconfig, --selector
                                    which registry
  --registry NAME                   a Registry resource, through its surrogate
  -u, --username NAME               with --password-file FILE, --password-stdin, or a terminal that asks
  --token-file FILE                 a token instead (default: docker login, if it stores passwords in its file)
  --service-account [NAMESPACE/]NAME
                                    a short-lived token of it instead; --audience, if it is not the registry's first
  -v, --verbose                     print which pod it is
END
}

k() {
  kubectl \${kubeconfig:+"--kubeconfig=$kubeconfig"} \${context:+"--context=$context"} "$@"
}

# Lines of pods of the registry: namespace, release, name, whether it is ready, whether it stays, its containers, its host.
pods() {
  labels=\${selector:-app.kubernetes.io/name=berth,app.kubernetes.io/component=registry}
  [ -z "$registry" ] || labels=app.kubernetes.io/name=berth,app.kubernetes.io/component=surrogate,berth.dev/registry=$registry
  k get pods "$@" -l "$labels" -o 'go-template={{range .items}}{{.metadata.namespace}}{{"\\t"}}{{with index .metadata.labels "app.kubernetes.io/instance"}}{{.}}{{end}}{{"\\t"}}{{.metadata.name}}{{"\\t"}}{{range .status.conditions}}{{if eq .type "Ready"}}{{.status}}{{end}}{{end}}{{"\\t"}}{{if .metadata.deletionTimestamp}}ends{{else}}stays{{end}}{{"\\t"}}{{range .spec.containers}}{{.name}} {{end}}{{"\\t"}}{{with .metadata.annotations}}{{with index . "berth.dev/host"}}{{.}}{{end}}{{end}}{{"\\n"}}{{end}}'
}

# What the cluster says about its registry (KEP-1755), if this user may read it.
hosting() {
  printf '%s\\n' "$hosting" | sed -n "s/^$1: *\\"\\{0,1\\}\\([^\\"]*\\)\\"\\{0,1\\} *\\$/\\1/p"
}

own_namespace() {
  own=$(k config view --minify -o 'jsonpath={..namespace}' 2>/dev/null) || own=''
  echo "\${own:-default}"
}

# In the namespace that is named; else in the context's, in the one that the cluster names, and in all.
find_pod() {
  hosting=$(k get configmap --namespace=kube-public local-registry-hosting \\
    -o 'go-template={{index .data "localRegistryHosting.v1"}}' 2>/dev/null) || hosting=''
  if [ -n "$namespace" ]; then
    found=$(pods "--namespace=$namespace") || exit 1
  else
    hinted=$(hosting hostFromClusterNetwork | sed -n 's/^[^.:]*\\.\\([^.:]*\\).*/\\1/p')
    found=''
    for place in "$(own_namespace)" "$hinted"; do
      [ -n "$found" ] || [ -z "$place" ] || found=$(pods "--namespace=$place" 2>/dev/null) || found=''
    done
    [ -n "$found" ] || found=$(pods --all-namespaces) || exit 1
  fi
  [ -n "$found" ] || fail 'found no registry (pods of the chart, or with --selector); name its namespace with --namespace'
  releases=$(printf '%s\\n' "$found" | cut -f 1,2 | sort -u | tr '\\t' /)
  [ "$(printf '%s\\n' "$releases" | wc -l)" -eq 1 ] ||
    fail "there are several registries: $(printf '%s' "$releases" | tr '\\n' ' '); choose one with --namespace, or with --selector app.kubernetes.io/instance=RELEASE,app.kubernetes.io/component=registry"
  ready=$(printf '%s\\n' "$found" | grep "\${tab}True\${tab}stays\${tab}" | head -n 1)
  [ -n "$ready" ] || fail "no pod of the registry is ready: $(printf '%s\\n' "$found" | cut -f 3 | tr '\\n' ' ')"
  namespace=$(printf '%s\\n' "$ready" | cut -f 1)
  pod=$(printf '%s\\n' "$ready" | cut -f 3)
  containers=$(printf '%s\\n' "$ready" | cut -f 6)
  host=$(printf '%s\\n' "$ready" | cut -f 7)
  [ -n "$host" ] || host=$(hosting host)
  host=\${host:-localhost:30026}
  case " $containers" in *' berth '*) container=berth ;; *) container=\${containers%% *} ;; esac
}

# The user and the password of "docker login", if it stores them in its file.
docker_login() {
  file=\${DOCKER_CONFIG:-\${HOME:-}/.docker}/config.json
  [ -r "$file" ] || return 0
  auth=$(tr -d ' \\t\\r\\n' <"$file" | sed -n 's|.*"'"$1"'":{[^}]*"auth":"\\([A-Za-z0-9+/=]*\\)".*|\\1|p')
  [ -n "$auth" ] || return 0
  login=$(printf '%s' "$auth" | base64 -d)
  username=\${login%%:*} secret=\${login#*:} kind=--password-stdin
}

ask() {
  [ -t 0 ] || fail '--username needs --password-file or --password-stdin'
  printf 'Password of %s: ' "$username" >&2
  trap 'stty echo; exit 130' INT TERM
  stty -echo
  IFS= read -r secret || :
  stty echo
  trap - INT TERM
  echo >&2
}

# A file, or standard input.
content() {
  case $1 in -) cat ;; *) cat -- "$1" ;; esac
}

in_pod() {
  k exec "--namespace=$namespace" "--container=$container" "$@"
}

# A token of a service account, with the first audience that the registry accepts. A surrogate does not say which.
account_token() {
  case $account in
  */*/* | /* | */) fail "--service-account $account: expected NAME or NAMESPACE/NAME" ;;
  */*) of=\${account%%/*} ;;
  *) of=$(own_namespace) ;;
  esac
  if [ -z "$audience" ] && [ -z "$registry" ]; then
    accepted=$(in_pod "$pod" -- berth status --output json </dev/null) || :
    audience=$(printf '%s\\n' "$accepted" | sed -n 's/.*"serviceAccounts":{"audiences":\\["\\([^"]*\\)".*/\\1/p')
    [ -n "$audience" ] || fail "cannot log in as service account $account: the registry accepts no tokens of service accounts; set auth.serviceAccounts.audiences there"
  fi
  k create token "\${account#*/}" "--namespace=$of" "--audience=\${audience:-berth}" --duration=10m
}

login() {
  if [ -n "$account" ]; then
    [ -z "$username$token_file" ] || fail "choose one login for $1: --service-account, or --username, --token-file or --credentials"
    kind=--token-file=-
    secret=$(account_token) || exit 1
  elif [ -n "$token_file" ]; then
    kind=--token-file=-
    secret=$(content "$token_file")
  elif [ -z "$username" ]; then
    docker_login "$1"
  else
    kind=--password-stdin
    case $password_file in '') ask ;; *) secret=$(content "$password_file") ;; esac
  fi
}

case \${1:-help} in
help | -h | --help) help && exit ;;
version | -V | --version) echo '${version} (shell script)' && exit ;;
push | pull | connect | kind | trust | spool | simple | operator | registry | serve | pipe)
  fail "$1 needs Berth itself on this machine, and this is only a shell script. Install the executable or the npm package (src/kubernetes/README.md)" ;;
-*) fail "expected a command before $1" ;;
esac
command=$1
shift

# Takes the options for this script out, and leaves all others in their order.
left=$# rest=''
while [ "$left" -gt 0 ]; do
  given=$1
  shift
  left=$((left - 1))
  name=$given value=''
  case $rest$given in
  --) rest=yes ;;
  yes*) name='' ;;
  -n | --namespace | --context | --kubeconfig | --selector | --registry | --service-account | --audience | -u | --username | --password-file | --token-file)
    [ "$left" -gt 0 ] || fail "$given needs a value"
    value=$1
    shift
    left=$((left - 1))
    ;;
  --*=*) name=\${given%%=*} value=\${given#*=} ;;
  -[nu]?*) value=\${given#-?} name=\${given%"$value"} ;;
  esac
  case $name in
  -n | --namespace) namespace=$value ;;
  --context) context=$value ;;
  --kubeconfig) kubeconfig=$value ;;
  --selector) selector=$value ;;
  --registry) registry=$value ;;
  --service-account) account=$value ;;
  --audience) audience=$value ;;
  -u | --username) username=$value ;;
  --password-file) password_file=$value ;;
  --password-stdin) password_file=- ;;
  --token-file) token_file=$value ;;
  -v | --verbose) verbose=yes ;;
  --certificate) fail "$name is a file of this machine, which the program in the pod cannot read" ;;
  *) set -- "$@" "$given" ;;
  esac
done

[ -z "$audience" ] || [ -n "$account" ] || fail '--audience needs --service-account'
case $command in
list | delete | copy | inspect) ;;
*) [ -z "$account" ] || fail "$command needs no login: leave --service-account out" ;;
esac
find_pod
[ -z "$verbose" ] || printf 'in pod %s in namespace %s\\n' "$pod" "$namespace" >&2
case $command in
list | delete | copy | inspect)
  login "$host"
  set -- "--in-pod=$host" \${username:+"--username=$username"} \${kind:+"$kind"} "$@"
  ;;
esac
# The secret is in no argument, which other users of the machine could see: printf is a part of the shell.
if [ -n "$kind" ]; then
  printf '%s' "$secret" | in_pod --stdin "$pod" -- berth "$command" "$@"
else
  in_pod "$pod" -- berth "$command" "$@" </dev/null
fi
`
}
