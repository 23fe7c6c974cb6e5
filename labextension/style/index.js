import './run.css';
import './bridge.css';
import './panel.css';
import './outputs.css';
import './cells.css';
