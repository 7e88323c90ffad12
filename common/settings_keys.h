/* settings_keys - the keys of the conf file as a table (keys.def): parsing, the
 * reference conf, the link and the manual all read it.  Thread: any. */
#ifndef COMMON_SETTINGS_KEYS_H
#define COMMON_SETTINGS_KEYS_H

#include "common/base.h"

struct strbuf;

enum key_type {
	KEY_BOOL,      /* bool */
	KEY_UINT,      /* uint32_t */
	KEY_NUMBER,    /* double */
	KEY_DURATION,  /* int64_t ns */
	KEY_SIZE,      /* uint64_t bytes */
	KEY_SIZE32,    /* uint32_t bytes */
	KEY_STRING,    /* char * */
	KEY_PERCENT,   /* double; "70" or "70%" */
	KEY_PERCENT32, /* uint32_t; likewise, whole */
	KEY_ENUM,      /* int; `enums` names the values */
	KEY_LIST,      /* struct str_list */
	KEY_ADDRESS,   /* char *, checked as host:port */
	KEY_ADDRESSES, /* struct str_list of host:port */
	KEY_NETWORKS,  /* struct str_list of CIDR networks */
	KEY_PROBE,     /* "tcp", "readiness" or a path: two fields, probe and probe_path */
	KEY_PORTS      /* "20000-29999": two fields */
};

/* Where a key may stand (a set). */
enum {
	IN_TOP = 1,
	IN_ACTIVATOR = 2,
	IN_AUTOSCALER = 4,
	IN_SERVICE = 8,
	IN_REVISION = 16,
	IN_TRAFFIC = 32,
	IN_RULE = 64,
	IN_SCHEDULE = 128
};

struct key {
	const char *name;
	enum key_type type;
	unsigned where;	      /* IN_* */
	const char *fallback; /* default as it would be written; NULL: none */
	double min, max;      /* in base units (ns, bytes, plain); min == max: unchecked */
	const char *enums;    /* "a|b|c" */
	const char *doc;      /* help: whole sentences */
	size_t offset;	      /* in the struct of its group */
	enum key_group {
		GROUP_TOP,
		GROUP_ACTIVATOR,
		GROUP_AUTOSCALER,
		GROUP_SERVICE,
		GROUP_REVISION,
		GROUP_LIMITS,
		GROUP_SCALING,
		GROUP_LAUNCH,
		GROUP_TRAFFIC,
		GROUP_RULE,
		GROUP_SCHEDULE
	} group;
	bool needs_restart; /* a reload cannot change it */
};
extern const struct key settings_keys[];
extern const size_t settings_keys_n;
const struct key *settings_key_find(const char *name, unsigned where);

/* Append what a key takes, as a person writes it: "1s to 1h", "yes or no", "addresses". */
void settings_key_bounds(const struct key *, struct strbuf *);

#endif
