-- What a shop can start with; its staff sets what is true for it.
INSERT INTO tax_rates (country, state, tax_class, basis_points) VALUES
    ('*',  '*',  '*',       0),
    ('IN', '*',  '*',       1800),
    ('IN', '*',  'reduced', 500),
    ('IN', '*',  'exempt',  0),
    ('DE', '*',  '*',       1900),
    ('DE', '*',  'reduced', 700),
    ('DE', '*',  'exempt',  0),
    ('GB', '*',  '*',       2000),
    ('GB', '*',  'reduced', 500),
    ('GB', '*',  'exempt',  0),
    -- The United States tax nothing as a whole; a state's own row needs its exemptions beside it.
    ('US', '*',  '*',       0),
    ('US', 'CA', '*',       725),
    ('US', 'CA', 'exempt',  0),
    ('US', 'NY', '*',       400),
    ('US', 'NY', 'exempt',  0),
    ('US', 'TX', '*',       625),
    ('US', 'TX', 'exempt',  0),
    ('US', 'WA', '*',       650),
    ('US', 'WA', 'exempt',  0)
ON CONFLICT DO NOTHING;

INSERT INTO shipping_rates (country, currency, base, per_kilogram, free_from) VALUES
    -- Any currency to anywhere: free until somebody says what it costs.
    ('*',  'XXX', 0,    0,    0),
    ('IN', 'INR', 4900, 1500, 49900),
    ('US', 'USD', 499,  50,   3500),
    ('DE', 'EUR', 499,  0,    2900),
    ('GB', 'GBP', 399,  0,    2500)
ON CONFLICT DO NOTHING;
