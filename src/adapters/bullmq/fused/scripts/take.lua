-- moveToActive.
return fetched(bull_active(KEYS, ARGV), KEYS, ARGV)
