/* reload - reads the conf file again while a program runs: because of a signal, of a command, or
 * of a change of the file.  Either all of the file holds then, or nothing has changed, and the
 * log and the caller get the reasons, each with file and line.  Where reload_on_change says so, a
 * change of the file is noticed here.
 * Thread: the loop's. */
#ifndef COMMON_RELOAD_H
#define COMMON_RELOAD_H

#include "common/audit.h"

struct jput;
struct loop;
struct reload; /* opaque */
struct settings;
struct settings_errors;

struct reload_ops {
	/* The settings in effect. */
	const struct settings *(*current)(void *arg);
	/* Why there can be no reload now; NULL: there can. */
	const char *(*refusal)(void *arg);
	/* Go over to new settings, and take them over (*settings is NULL then).  -1: nothing has
	 * changed, and errors has a line at least, which begins with file and line where the file
	 * is the cause. */
	int (*adopt)(struct settings **, struct settings_errors *, void *arg);
};

/* section: the program's own, IN_ACTIVATOR or IN_AUTOSCALER.  ops and arg are borrowed.  The
 * settings in effect come from the file; if that has changed since, it is reloaded by the loop
 * where reload_on_change says so. */
NODISCARD struct reload *reload_new(struct loop *, unsigned section, const struct reload_ops *,
				    void *arg);
void reload_free(struct reload **);

/* Reload now.  by: who has asked, for the log and the audit.  0: the file is in effect.  -1:
 * nothing has changed, and errors (may be NULL) has the reasons. */
int reload_now(struct reload *, const struct audit_by *, struct settings_errors *errors);
/* Write reloads there; borrowed; NULL: nowhere. */
void reload_set_audit(struct reload *, struct audit *);
/* A reload that an earlier process has left without an outcome: has this one read that file? */
void reload_end_left(const struct reload *, const struct audit_left *);

struct reload_counts {
	uint64_t done, failed; /* reloads */
	int64_t read_ns;       /* clk_wall() when the file in effect was read */
	bool is_file_other;    /* the file has other bytes now than those in effect, or is gone */
};
void reload_count(struct reload *, struct reload_counts *);
/* Add them to the object of /status, as its member `conf`. */
void reload_put(struct jput *, const struct reload_counts *);

#endif
