/* settings_impl - for the files that make settings of a conf file: settings.c and
 * settings_check.c. */
#ifndef COMMON_SETTINGS_IMPL_H
#define COMMON_SETTINGS_IMPL_H

#include "common/conf.h"
#include "common/settings.h"

struct loader {
	struct conf_errors errors;
	struct settings *s;
	const struct conf_section *root;
	const struct conf_section *activator, *autoscaler; /* NULL: the file has none */
};

/* Check what settings must have in common with others of the file; each value by itself was
 * checked before. */
void check_processes(struct loader *);
void check_service(struct loader *, const struct conf_section *, const struct service_conf *);
/* Check what several services or revisions may not share, or must share. */
void check_shared(struct loader *);

#endif
