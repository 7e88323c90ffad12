/* kube_config - where the API server is, and the credentials for it: those of the pod's service
 * account, or of a kubeconfig file (the part of it that `kubectl config view --minify
 * --flatten` shows).  What this program does not support (impersonation) or will not do (skip
 * verification) is an error with a reason, never passed over.
 * Reads files and the environment; no network.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBE_KUBE_CONFIG_H
#define AUTOSCALER_KUBE_KUBE_CONFIG_H

#include "common/err.h"
#include "common/str_list.h"

/* Of each pair of a file and a text (PEM, or the token) at most one is set.  A file is read each
 * time that it is used, since it may be replaced. */
struct kube_config {
	char *origin;		  /* for messages: the file, or "the pod's service account" */
	char *server;		  /* "https://10.0.0.1:6443", without a slash at the end */
	char *server_name;	  /* that its certificate must have; NULL: that of `server` */
	char *proxy;		  /* URL; NULL: libcurl's environment variables decide */
	char *ca_file, *ca_pem;	  /* both NULL: the authorities of the system */
	char *token_file, *token; /* bearer */
	char *cert_file, *cert_pem, *key_file, *key_pem;
	struct kube_exec_conf *exec; /* NULL: the above are used */
};

#define KUBE_EXEC_INFO "KUBERNETES_EXEC_INFO"

/* A credentials plug-in. */
struct kube_exec_conf {
	char *api_version; /* "client.authentication.k8s.io/v1", or v1beta1 */
	char *command;	   /* a path, or a name that is looked up in $PATH */
	struct str_list argv;
	struct str_list env; /* "NAME=value", beside ours */
	char *info;	     /* the value of $KUBERNETES_EXEC_INFO */
	char *hint;	     /* installHint: how to get the program; NULL: none */
};

#define KUBE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

/* path: the key `kubeconfig` of the conf file; NULL: the pod's service account or, outside of a
 * pod, $KUBECONFIG.  0, or -1 with err; kube_config_fini() is due in any case. */
NODISCARD int kube_config_load(struct kube_config *, const char *path, struct err *);
/* The same from text.  origin is its file: for messages, and for paths relative to it. */
NODISCARD int kube_config_parse(struct kube_config *, const char *origin, const char *text,
				size_t n, struct err *);
/* The service account in dir; host and port: KUBERNETES_SERVICE_HOST and _PORT. */
NODISCARD int kube_config_account(struct kube_config *, const char *host, const char *port,
				  const char *dir, struct err *);
void kube_config_fini(struct kube_config *);

/* A token file's contents without the white space around it; the caller's.  NULL with
 * err. */
NODISCARD char *kube_config_read_token(const char *file, struct err *);

#endif
