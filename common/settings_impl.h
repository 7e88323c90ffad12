/* settings_impl - what the files that make settings out of a conf file share. */
#ifndef COMMON_SETTINGS_IMPL_H
#define COMMON_SETTINGS_IMPL_H

#include "common/conf.h"
#include "common/settings.h"

struct loader {
	struct conf_errors errors;
	struct settings *s;
	const struct conf_section *root;
	const struct conf_section *activator, *autoscaler; /* NULL: not there */
};

/* What must agree with something else in the file; each value by itself is right. */
void check_processes(struct loader *);
void check_service(struct loader *, const struct conf_section *, const struct service_conf *);
/* What no two services or revisions may share. */
void check_shared(struct loader *);

#endif
