-- One document, posted over and over: wrk builds the request once, so this is the least a post can cost.
wrk.method = "POST"
wrk.body = '{"user":{"id":7,"fullName":"Grace Hopper","country":"US"},"video":{"id":9,"title":"how to fix a slow bicycle",'
  .. '"caption":"how to fix a slow bicycle in Zurich with tape and patience part two","privacy":"public","frameRate":29.97,'
  .. '"videoCodec":"h264","audioCodec":"aac","audioSampleRate":44100}}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Idempotency-Key"] = "0123456789abcdef0123456789abcdef"
