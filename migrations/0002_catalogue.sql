-- The catalogue of strategies: discovered ones come in by the intake, a person's own by hand.

DO $catalogue$
BEGIN

IF to_regclass('strategies') IS NULL THEN
    CREATE TABLE strategies (
        strategy_id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        name                 text,
        user_id              text,
        symbol               text NOT NULL,
        strategy_type        text NOT NULL,
        parameters           jsonb NOT NULL,
        python_code          text,
        current_score        double precision NOT NULL
                             CHECK (current_score > '-Infinity' AND current_score < 'Infinity'),
        first_discovered_at  timestamptz DEFAULT now(),
        last_evaluated_at    timestamptz DEFAULT now(),
        is_active            boolean NOT NULL DEFAULT true,
        strategy_hash        text NOT NULL UNIQUE,
        discovery_symbol     text,
        discovery_start_time timestamptz,
        discovery_end_time   timestamptz,
        metrics              jsonb,
        created_at           timestamptz NOT NULL DEFAULT now(),
        updated_at           timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX strategies_symbol ON strategies (symbol);
    CREATE INDEX strategies_strategy_type ON strategies (strategy_type);
    CREATE INDEX strategies_current_score ON strategies (current_score DESC);
    CREATE INDEX strategies_is_active ON strategies (is_active);
    CREATE TRIGGER strategies_touch BEFORE UPDATE ON strategies
        FOR EACH ROW EXECUTE FUNCTION worker_touch_updated_at();
    COMMENT ON TABLE strategies IS 'Strategies that can be run: a known class with its parameters, or source code.';
    COMMENT ON COLUMN strategies.user_id IS 'Whose it is; text as in users, null for a discovered one.';
    COMMENT ON COLUMN strategies.strategy_type IS 'The name of a strategy class. Ignored when there is python_code.';
    COMMENT ON COLUMN strategies.python_code IS 'Source of the strategy, run sealed off; null for a known class.';
    COMMENT ON COLUMN strategies.current_score IS 'The higher the better. NaN sorts above every number, so the check refuses it.';
    COMMENT ON COLUMN strategies.strategy_hash IS 'SHA-256 of the canonical type, symbol and parameters: the same strategy is found once.';
END IF;

END
$catalogue$;
