/* local - the commands that do their work without an autoscaler: import. */
#ifndef AUTOSCALER_CTL_LOCAL_H
#define AUTOSCALER_CTL_LOCAL_H

#include "autoscaler/ctl/ctl.h"

/* As command.run. */
enum ctl_exit run_import(const struct ctl_options *, char *const *arguments, int n);

#endif
