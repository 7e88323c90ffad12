/* kube_config - how the cluster is reached: the service account of the pod that we run
 * in, or a kubeconfig file (the parts that `kubectl config view --minify --flatten`
 * shows).  What we cannot or will not do (exec plug-ins, no verification) is refused
 * here, in words, and never left out in silence.
 * Reads files, and the environment; no network.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_CONFIG_H
#define AUTOSCALER_KUBERNETES_KUBE_CONFIG_H

#include "common/err.h"

/* Of each pair FILE and text (PEM, or the token) at most one is set.  Files are read anew
 * by whoever uses them, since they rotate. */
struct kube_config {
	char *origin;		  /* for people: the file, or "the pod's service account" */
	char *server;		  /* "https://10.0.0.1:6443", without a slash at the end */
	char *server_name;	  /* what its certificate is held against; NULL: its host */
	char *proxy;		  /* URL; NULL: none but the environment's */
	char *ca_file, *ca_pem;	  /* both NULL: the system's authorities */
	char *token_file, *token; /* bearer */
	char *cert_file, *cert_pem, *key_file, *key_pem;
};

#define KUBE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

/* path: the conf file's kubeconfig; NULL: the pod's service account, or, outside of a
 * pod, $KUBECONFIG.  0, or -1 with err; c is filled in any case, for
 * kube_config_fini(). */
NODISCARD int kube_config_load(struct kube_config *, const char *path, struct err *);
/* As above from text; origin names it and is what relative files are relative to. */
NODISCARD int kube_config_parse(struct kube_config *, const char *origin, const char *text,
				size_t n, struct err *);
/* As from within a pod: host and port as KUBERNETES_SERVICE_HOST and _PORT say. */
NODISCARD int kube_config_account(struct kube_config *, const char *host, const char *port,
				  const char *dir, struct err *);
void kube_config_fini(struct kube_config *);

/* A token file's contents without the white space around it; the caller's.  NULL with
 * err. */
NODISCARD char *kube_config_read_token(const char *file, struct err *);

#endif
