"""What our pages have in common: one HTML file with its data, its charts and plotly inside."""
