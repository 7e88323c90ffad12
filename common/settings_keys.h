/* settings_keys - the table of the keys of the conf file (keys.def), from which the parser,
 * the reference conf, the link and the manual are made.  Thread: any. */
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
	KEY_PERCENT32, /* uint32_t; the same without a fraction */
	KEY_ENUM,      /* int; its values are the words of `enums` */
	KEY_LIST,      /* struct str_list */
	KEY_ADDRESS,   /* char *, checked as host:port */
	KEY_LISTEN,    /* struct str_list of entries of listen_spec.h */
	KEY_ENDPOINTS, /* struct str_list of host:port, unix:/path or name:port */
	KEY_NETWORKS,  /* struct str_list of CIDR networks */
	KEY_PROBE, /* "auto", "tcp", "readiness", "grpc", "grpc:NAME" or a path: two fields, probe
		    and probe_text */
	KEY_PORTS  /* "20000-29999": two fields */
};

/* The sections in which a key is allowed, as a set. */
enum {
	IN_TOP = 1,
	IN_ACTIVATOR = 2,
	IN_AUTOSCALER = 4,
	IN_SERVICE = 8,
	IN_REVISION = 16,
	IN_TRAFFIC = 32,
	IN_RULE = 64,
	IN_SCHEDULE = 128,
	IN_CERTIFICATE = 256,
	IN_OWNER = 512
};

struct key {
	const char *name;
	enum key_type type;
	unsigned where;	      /* IN_* */
	const char *fallback; /* the default as a conf file would have it; NULL: none */
	double min, max;      /* in base units (ns, bytes, plain); min == max: not bounded */
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
		GROUP_SCHEDULE,
		GROUP_CERTIFICATE,
		GROUP_OWNER
	} group;
	bool needs_restart; /* a reload cannot change its value */
};
extern const struct key settings_keys[];
extern const size_t settings_keys_n;
const struct key *settings_key_find(const char *name, unsigned where);

/* Append what a key accepts, such as "1s to 1h", "yes or no" or "addresses". */
void settings_key_bounds(const struct key *, struct strbuf *);

#endif
