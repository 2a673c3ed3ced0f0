-- How far the change stream of each MongoDB collection was carried into the outbox.
CREATE TABLE places (
    collection text PRIMARY KEY,
    -- MongoDB's resume token, in BSON.
    token bytea NOT NULL,
    -- While all documents are told of, the id of the last one (empty at first); NULL otherwise.
    found_up_to text
);
