-- name: renew_lease
INSERT INTO replica (replica_id, lease_until)
VALUES ($1::uuid, venus_now() + make_interval(secs => $2::float8))
ON CONFLICT (replica_id) DO UPDATE SET lease_until = excluded.lease_until;

-- Gives everything up at a clean end, so that nobody waits for the lease.
-- name: drop_lease
DELETE FROM replica WHERE replica_id = $1::uuid;

-- Replicas whose lease ended an hour ago and that own nothing any more.
-- name: forget_replicas
DELETE FROM replica
WHERE lease_until < venus_now() - interval '1 hour'
    AND NOT EXISTS (SELECT FROM transaction_log WHERE owner = replica_id AND status IN ('PENDING', 'COMPENSATING'));
