"""What the shop says about itself while it runs: traces and logs."""
