/* completion - scripts by which shells complete the arguments of activatorctl. */
#ifndef AUTOSCALER_CTL_COMPLETION_H
#define AUTOSCALER_CTL_COMPLETION_H

#include "common/base.h"

/* Write the script for "bash", "zsh" or "fish".  -1: there is none for that shell. */
NODISCARD int completion_write(const char *shell);

#endif
