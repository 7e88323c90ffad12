/* kube_split - cuts what an API server sends into JSON texts of one object each, however
 * the bytes arrive: a watch is an object a line; of a list the elements of `items` and
 * `metadata` are told one by one, so that a list of any length needs the memory of its
 * largest object.
 * Pure; feeds nothing back.  Thread: the owner. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_SPLIT_H
#define AUTOSCALER_KUBERNETES_KUBE_SPLIT_H

#include "common/strbuf.h"

/* An object larger than this is an error: etcd takes 1.5 MiB in one, which grows less
 * than fivefold as JSON. */
#define KUBE_OBJECT_MOST ((size_t)8 << 20)

enum kube_form { KUBE_LINES, KUBE_LIST };
enum kube_piece { KUBE_EVENT, KUBE_ITEM, KUBE_LIST_METADATA };

struct kube_split {
	enum kube_form form;
	struct strbuf buf; /* of the piece that is under way */
	/* KUBE_LIST */
	unsigned depth;
	bool in_string, is_escaped, is_key, in_items, is_over;
	enum kube_piece piece;
	size_t piece_depth; /* where the piece that is under way ends; 0: none is */
	char key[16];
	size_t key_n;
};

/* text is one JSON text, borrowed.  false: no more of this is wanted. */
typedef bool kube_split_fn(enum kube_piece, const char *text, size_t n, void *arg);

void kube_split_init(struct kube_split *, enum kube_form);
void kube_split_fini(struct kube_split *);
/* Take the next bytes.  0, or -1: an object is too large, or fn said false. */
NODISCARD int kube_split_feed(struct kube_split *, const char *data, size_t n, kube_split_fn *fn,
			      void *arg);
/* Whether it could end here: nothing is half told. */
bool kube_split_is_whole(const struct kube_split *);

#endif
