"""One library each; none imports another: the pipeline hands values across."""
