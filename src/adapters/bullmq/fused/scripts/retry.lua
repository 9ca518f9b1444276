-- retryJob.
between(ARGV[1], ARGV[4], ARGV[5])
return bull_body(KEYS, ARGV)
