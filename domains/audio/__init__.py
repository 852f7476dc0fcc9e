"""Audio: speech recognition, and what its models share: sound files, features, decoding, subtitles and scores."""
