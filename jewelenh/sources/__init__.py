"""Where raw photos come from: the embedded sample, a folder, a Kaggle data set."""
