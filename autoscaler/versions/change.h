/* change - what differs between two states of a service of the store, in words, for people who are
 * about to apply a file, or have just done so.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_VERSIONS_CHANGE_H
#define AUTOSCALER_VERSIONS_CHANGE_H

#include "autoscaler/versions/model.h"

struct strbuf;

/* Append "shop-00002 is new, shop-00001 from 100% to 90%, …"; nothing, if nothing differs.  old
 * NULL: there was no such service. */
void change_put(const struct stored_service *old, const struct stored_service *new,
		struct strbuf *out);

#endif
