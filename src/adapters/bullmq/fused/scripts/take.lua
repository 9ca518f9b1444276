-- moveToActive. `taken` is what it answered.
return fetched(taken, KEYS, ARGV)
