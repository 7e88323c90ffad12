/* record - a line of the usage journal: what one revision used in one part of an hour.
 *
 *	1f2e3d4c {"run":"s1a2b-5","part":7,"hour":490000,"revision":"a/v1","requests":12,…}
 *
 * The first word is the CRC-32C of what follows the blank, in hexadecimal digits.  A record
 * holds all that was used since its part began: of several records of one part the last one
 * counts, so that a record that is lost or broken costs nothing once the next one is written.
 * Amounts that are 0 are left out, and so are an owner and a cost center that are not set.  Unknown
 * members are ignored.  Pure.  Thread: any. */
#ifndef AUTOSCALER_USAGE_RECORD_H
#define AUTOSCALER_USAGE_RECORD_H

#include "autoscaler/usage/account.h"
#include "autoscaler/usage/amounts.h"
#include "common/err.h"

struct strbuf;

struct usage_record {
	char *run;     /* the id of the autoscaler that wrote it; "": of several */
	uint64_t part; /* unique within the run */
	int64_t hour;  /* since the epoch, UTC */
	struct account account;
	struct amounts amounts;
};

/* Append it as a line, with its newline. */
void record_encode(const struct usage_record *, struct strbuf *);
/* Decode a line without its newline into r, for record_fini(), also after an error.  0, or -1
 * with err. */
NODISCARD int record_decode(struct usage_record *r, const char *line, size_t n, struct err *);
void record_fini(struct usage_record *);

#endif
