/* kube_split - cuts what the API server sends into JSON texts of one object each, in whatever
 * pieces the bytes arrive.  A watch sends one event in each line.  Of a list the elements of
 * `items` come out one by one, and its `metadata`, so that a list of any length takes no more
 * memory than its largest object.
 * Pure.  Thread: the owner's. */
#ifndef AUTOSCALER_KUBE_KUBE_SPLIT_H
#define AUTOSCALER_KUBE_KUBE_SPLIT_H

#include "common/strbuf.h"

/* Bytes of one object; a larger one is an error.  etcd stores at most 1.5 MiB for an object,
 * which grows less than fivefold as JSON. */
#define KUBE_OBJECT_MOST ((size_t)8 << 20)

enum kube_form { KUBE_LINES, KUBE_LIST };
enum kube_piece { KUBE_EVENT, KUBE_ITEM, KUBE_LIST_METADATA };

struct kube_split {
	enum kube_form form;
	struct strbuf buf; /* the piece that is incomplete */
	/* KUBE_LIST: where in the document it is */
	unsigned depth; /* open brackets */
	bool in_string, is_escaped, is_key, in_items;
	bool is_over;	       /* the last bracket is closed */
	enum kube_piece piece; /* that is incomplete */
	size_t piece_depth;    /* depth of its brackets; 0: there is none */
	char key[16];	       /* of the outermost object, as far as it fits */
	size_t key_n;
};

/* text is one JSON text, borrowed.  false: stop. */
typedef bool kube_split_fn(enum kube_piece, const char *text, size_t n, void *arg);

void kube_split_init(struct kube_split *, enum kube_form);
void kube_split_fini(struct kube_split *);

/* Take the next bytes, and call fn for each piece that they complete.  0, or -1: an object is
 * too large, bytes follow the end of a list, or fn returned false. */
NODISCARD int kube_split_feed(struct kube_split *, const char *data, size_t n, kube_split_fn *fn,
			      void *arg);

/* Whether the bytes so far end where a watch or a list may end. */
bool kube_split_is_complete(const struct kube_split *);

#endif
