import './run.css';
import './panel.css';
import './outputs.css';
