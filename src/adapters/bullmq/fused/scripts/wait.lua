-- moveJobFromActiveToWait.
between(string.sub(ARGV[3], 1, -#ARGV[1] - 1), ARGV[1], ARGV[2])
return bull_body(KEYS, ARGV)
